//! The model as the checker explores it: every order of steps, and everything that may go wrong.

use stateright::{Model, Property};

use crate::checks;
use crate::claim::Who;
use crate::contender::{At, Contender, Role};
use crate::program;
use crate::run::{Net, Run};
use crate::state::State;
use crate::world::World;

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A contender takes its next step.
    Step(Who, Net),
    /// A holder begins a refresh.
    Refresh(Who),
    /// A process is killed.
    Crash(Who),
    /// The process that a lock is held for ends.
    ShellEnds(Who),
    /// A request under way arrives.
    Arrives(usize),
    /// Time passes.
    Tick,
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.roles, self.faults, self.fence).canonical()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        actions.extend((0..state.late.len()).filter(|late| state.late[*late].is_some()).map(Action::Arrives));
        for (who, contender) in state.contenders.iter().enumerate().filter(|(_, contender)| !contender.has_ended()) {
            actions.push(Action::Step(who, Net::Fine));
            if state.faults > 0 {
                actions.extend(Net::FAULTS.map(|net| Action::Step(who, net)));
            }
            if contender.at == At::Hold && contender.role != Role::Flufl {
                actions.push(Action::Refresh(who));
            }
            if self.crashes && contender.at != At::Stage {
                actions.push(Action::Crash(who));
            }
            if self.on_behalf && contender.at == At::Hold && !contender.shell_ended {
                actions.push(Action::ShellEnds(who));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Tick if self.is_held_up(last) => return None,
            Action::Tick => state.tick(),
            Action::Arrives(late) => {
                let request = state.late[late].take()?;
                state.carry_out(request);
            }
            Action::Step(who, net) => {
                let mut run = Run::new(self, &mut state, who, net);
                program::step(&mut run);
                if !run.is_possible {
                    return None;
                }
                state.faults -= u8::from(net != Net::Fine);
            }
            Action::Refresh(who) => program::refresh(&mut Run::new(self, &mut state, who, Net::Fine)),
            Action::Crash(who) => {
                let Contender { role, nth, .. } = state.contenders[who];
                state.contenders[who] = Contender { role, nth, at: At::Crashed, ..Contender::default() };
            }
            Action::ShellEnds(who) => state.contenders[who].shell_ended = true,
        }
        let state = state.canonical();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one holder", checks::one_holder),
            Property::always("no live claim is removed", checks::no_live_claim_removed),
            Property::always("no lock has expired at once", checks::none_expired_at_once),
            Property::always("no blind refresh", checks::no_blind_refresh),
            Property::always("fencing tokens grow", checks::tokens_grow),
            Property::always("the lock is never stuck", checks::never_stuck),
        ]
    }
}

impl World {
    /// The limit of `link`: between its last look and the removal of a shared name, nobody is stopped for so long that others may
    /// have broken its lock, or its turn, by then.
    fn is_held_up(&self, state: &State) -> bool {
        let is_last = |(who, contender): (Who, &Contender)| {
            let turn = state.server.turn.is_some_and(|(turn, left)| turn == who && left == 1);
            match contender.at {
                At::ReleaseUnlink => contender.deadline == 1 || turn,
                At::MoveAside | At::ClearRmdir => turn,
                _ => false,
            }
        };
        !self.beyond_the_limit && state.contenders.iter().enumerate().any(is_last)
    }
}
