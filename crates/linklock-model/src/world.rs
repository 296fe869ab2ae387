//! A world: who contends, what may go wrong, and which safety steps are left out.

use crate::contender::Role;
use crate::server::Request;
use crate::step::Step;

/// A world.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// The contenders.
    pub roles: &'static [Role],
    /// How many claims each of them makes.
    pub claims_each: u8,
    /// How many faults of the network there are.
    pub faults: u8,
    /// Whether processes may be killed at any step.
    pub crashes: bool,
    /// Whether `link` goes beyond its documented limit: any process may be stopped for any time between its last look and the
    /// removal of a name that contenders share; and requests that remove such a name, or set the expiry of a `link` lock, may be
    /// carried out late or twice.
    pub beyond_the_limit: bool,
    /// Whether clocks fail: any lock may be broken at any time. Only fencing tokens hold then.
    pub clocks_fail: bool,
    /// Whether every acquisition draws a fencing token.
    pub fence: bool,
    /// Whether `link` locks are held for another process, which may end at any time.
    pub on_behalf: bool,
    /// Whether one request removes files and directories (NFS 4).
    pub one_remove: bool,
    /// Whether a contender remembers names: it reaches its claim's file wherever that was moved meanwhile, and its first list of the
    /// fencing numbers is an old one.
    pub remembers_names: bool,
    /// Whether a reader whose move ended in an error other than "not there" goes on with the same claim, as the library once did.
    pub keeps_claim_after_error: bool,
    /// The safety steps that are left out.
    pub without: &'static [Step],
}

impl World {
    /// A world where nothing goes wrong but that everybody may be stopped at any step, for any time, and killed.
    pub const fn of(roles: &'static [Role]) -> Self {
        Self {
            roles,
            claims_each: 1,
            faults: 0,
            crashes: true,
            beyond_the_limit: false,
            clocks_fail: false,
            fence: false,
            on_behalf: false,
            one_remove: false,
            remembers_names: false,
            keeps_claim_after_error: false,
            without: &[],
        }
    }

    /// Whether a safety step is taken.
    pub fn keeps(&self, step: Step) -> bool {
        !self.without.contains(&step)
    }

    /// Whether a request may be carried out after its sender has gone on, or twice.
    pub fn may_be_late(&self, request: Request, is_of_dir: bool) -> bool {
        self.beyond_the_limit
            || match request {
                Request::UnlinkPath | Request::MoveAside(_) => false,
                Request::Rmdir { any } => !any,
                Request::SetExpiry { .. } => is_of_dir,
                _ => true,
            }
    }
}
