//! What is done with a claim of one's own, whatever protocol it is of: it is made, its expiry is set, and the server's clock is asked
//! by it.

use std::io;
use std::time::Duration;

use super::{OnBehalfOf, Place, Protocol, ROUNDING, SLOW, Stake, dir, is_gone, leftovers, link};
use crate::claim::{Claim, Fingerprint};
use crate::env::{Attr, Expiry, FileId, Location, Meant, Step};
use crate::error::{Error, Lost};
use crate::lease::{Anchor, Lease, LocalTime, ServerTime};

/// The file system answers that all is well, but shows another time than it was given.
#[derive(Debug, thiserror::Error)]
#[error("the file system does not keep the times that it is given, so no lock can be refreshed there")]
pub(crate) struct TimesNotKept;

impl Place {
    /// The claim's name for whom the lock is taken.
    fn new_claim(&self) -> Result<Claim, Error> {
        match self.on_behalf_of {
            OnBehalfOf::ThisProcess => Ok(self.own_claim()),
            OnBehalfOf::Nobody => Ok(self.claim_for(self.env.process_id(), None)),
            OnBehalfOf::Process(pid) if !self.env.may_exist(pid) => {
                Err(Error::invalid(format!("process {pid}: there is no such process to hold a lock for")))
            }
            // Where nothing tells it from others, its end is not known, and the lock lasts up to its expiry.
            OnBehalfOf::Process(pid) => Ok(self.claim_for(pid, self.env.fingerprint(pid))),
        }
    }

    /// A new name for what this process makes use of by itself, whomever it takes the lock for: what a dead process has named
    /// may be swept away.
    pub(super) fn own_claim(&self) -> Claim {
        let own = self.env.process_id();
        self.claim_for(own, self.env.fingerprint(own))
    }

    fn claim_for(&self, pid: u32, fingerprint: Option<Fingerprint>) -> Claim {
        self.path.new_claim(self.env.as_ref(), &self.host, pid, fingerprint, self.lifetime)
    }

    /// Puts a claim beside the lock path by `make`. A name that is taken, by whomever, is left alone.
    pub(super) fn stage(&self, make: impl Fn(Claim) -> io::Result<Stake>) -> Result<Stake, Error> {
        let mut staged = make(self.new_claim()?);
        for _ in 0..16 {
            if !staged.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
            staged = make(self.new_claim()?);
        }
        staged.map_err(|e| Error::cannot_create(self.lock_path(), e))
    }

    /// Makes the file that carries a claim's expiry by `make`, with a fresh one.
    pub(super) fn create(
        &self,
        claim: Claim,
        at: &Location,
        make: impl FnOnce(&mut Expiry<'_>) -> io::Result<Attr>,
    ) -> io::Result<Stake> {
        let env = self.env.as_ref();
        let before = env.now();
        let mut made = None;
        let attr = make(&mut |attr| {
            let mut now = env.now();
            let mut anchor = Anchor::new(attr.ctime, before, now);
            // Made from a slow reply, the expiry would lie as much too far in the future.
            if anchor.width() > SLOW {
                let meant = self.meant_waiting(attr.id, attr.owner);
                anchor = self.ask_clock(at, meant, attr.ctime).ok().flatten().unwrap_or(anchor);
                now = env.now();
            }
            let lease = Lease::starting(now, &anchor, self.lifetime, claim.mark());
            made = Some((*attr, anchor, lease));
            // A dir lock lasts from its last change: to set the mtime too would be a request for nothing.
            (self.protocol == Protocol::Link || !dir::tells_change(attr)).then_some(lease.expiry)
        })?;
        let (new, anchor, mut lease) = made.ok_or_else(|| io::Error::other("the new file has no attributes"))?;
        if self.protocol == Protocol::Link {
            lease.deadline = self.shown_deadline(&claim, &lease, before, &attr).inspect_err(|_| {
                let _ = env.unlink(at);
            })?;
        }
        Ok(Stake {
            claim,
            id: new.id,
            owner: new.owner,
            ctime: attr.ctime,
            anchor,
            lease,
            fresh: true,
            told: before,
            noreplace: false,
            fence: None,
        })
    }

    /// The file of a claim of ours. The entry of a dir claim is told by its name, which no other has, and by its owner: there
    /// are file systems where a file's number changes, and dir needs none.
    pub(super) fn meant(&self, stake: &Stake) -> Meant {
        Meant { is_alone: false, ..self.meant_waiting(stake.id, stake.owner) }
    }

    /// The same, of a claim that waits. Others may write the directory of a break lock's claim, where whoever breaks next removes
    /// what one who died has left; so they could link another file of ours to the entry's name. But a link of a held entry, which
    /// anybody may be able to make, must not keep its holder from refreshing it.
    fn meant_waiting(&self, id: FileId, owner: u32) -> Meant {
        let is_link = self.protocol == Protocol::Link;
        Meant { id: is_link.then_some(id), owner, is_alone: !is_link }
    }

    /// Asks the server's clock by a claim that waits.
    pub(crate) fn ask_clock_by(&self, stake: &Stake) -> io::Result<Option<Anchor>> {
        let at = self.protocol.steps().staged_file(self, &stake.claim).of(stake.owner);
        self.ask_clock(&at, self.meant_waiting(stake.id, stake.owner), stake.ctime)
    }

    /// Learns what the server's clock says, by a change of a file of ours that changes nothing else; `None` where the file
    /// system cannot tell, or has left the ctime at the one that is known.
    fn ask_clock(&self, at: &Location, meant: Meant, known: ServerTime) -> io::Result<Option<Anchor>> {
        let ask = || {
            let before = self.env.now();
            let attr = self.env.touch(at, meant)?;
            let anchor = Anchor::of_change(&attr, before, self.env.now());
            Ok::<_, io::Error>(anchor.filter(|_| attr.ctime != known))
        };
        let mut anchor = ask()?;
        for _ in 0..3 {
            if anchor.is_none_or(|anchor| anchor.width() <= SLOW) {
                break;
            }
            anchor = ask()?;
        }
        Ok(anchor)
    }

    /// Sets a new expiry on the claim's file, which is there, and says until when it may be trusted, counted from before the call. The
    /// stake's own deadline does not grow: until more is known, and if the call fails, the old expiry or the new one may be
    /// on disk, so it is the earlier of both.
    fn set_expiry(&self, stake: &mut Stake, at: &Location, meant: Meant, lifetime: Duration) -> io::Result<LocalTime> {
        let known = stake.anchor;
        let deadline = self.set_expiry_as_known(stake, at, meant, lifetime)?;
        // What was known of the server's clock may be old. If it has gone ahead since, by drifting or by a step, what was
        // written is over too early for others; now more is known.
        if stake.anchor.ahead_of(&known, self.env.now()) > SLOW {
            return self.set_expiry_as_known(stake, at, meant, lifetime);
        }
        Ok(deadline)
    }

    fn set_expiry_as_known(
        &self,
        stake: &mut Stake,
        at: &Location,
        meant: Meant,
        lifetime: Duration,
    ) -> io::Result<LocalTime> {
        let before = self.env.now();
        let lease = Lease::starting(before, &stake.anchor, lifetime, stake.claim.mark());
        stake.lease.deadline = stake.lease.deadline.min(lease.deadline);
        let attr = self.env.set_expiry(at, meant, lease.expiry)?;
        // A slow reply tells less than what is known from a fast one, for all that clocks drift. A change that left the ctime as it
        // was may be none: FUSE file systems have answered so.
        if let Some(anchor) = Anchor::of_change(&attr, before, self.env.now())
            && anchor.width() <= SLOW.max(stake.anchor.width())
            && attr.ctime != stake.ctime
        {
            stake.anchor = anchor;
        }
        stake.ctime = attr.ctime;
        let deadline = self.shown_deadline(&stake.claim, &lease, before, &attr)?;
        stake.lease = Lease { deadline: stake.lease.deadline.min(deadline), ..lease };
        Ok(deadline)
    }

    /// Until when a lease may be trusted whose expiry was set by a call that began at `before`: as far as the attributes show it
    /// that came back, for by these others judge. A file system may round the time that it is given, or not take it at all.
    fn shown_deadline(&self, claim: &Claim, lease: &Lease, before: LocalTime, attr: &Attr) -> io::Result<LocalTime> {
        if !self.keeps(Step::ShownRefresh) {
            return Ok(lease.deadline);
        }
        let told = claim.lifetime.unwrap_or(self.lifetime);
        let shown = match self.protocol {
            Protocol::Link => attr.mtime,
            Protocol::Dir => dir::expiry(attr, self.lifetime.min(told)),
        };
        let missing = lease.expiry.since(shown);
        // Later than asked for, it keeps others out for nothing. A dir lock that was acquired for longer does so.
        if missing > ROUNDING || (self.protocol == Protocol::Link && shown.since(lease.expiry) > ROUNDING) {
            return Err(io::Error::other(TimesNotKept));
        }
        // Who knows no clock to compare it with counts what the lock tells of its lifetime, from this change on.
        let counted = told.max(attr.mtime.since(attr.ctime));
        Ok((lease.deadline - missing).min(before + counted))
    }

    /// Makes the expiry fresh for the next attempt, unless it still is. Says whether the claim is there at all.
    pub(super) fn freshen(&self, stake: &mut Stake) -> Result<bool, Error> {
        if !stake.fresh && self.keeps(Step::FreshExpiry) {
            let at = self.protocol.steps().staged_file(self, &stake.claim).of(stake.owner);
            let before = self.env.now();
            let meant = self.meant_waiting(stake.id, stake.owner);
            match self.set_expiry(stake, &at, meant, self.lifetime) {
                // So old that others may be removing it.
                Ok(_) if leftovers::is_given_up(self, stake) => return Ok(false),
                // The expiry that was sent was old by then. If that request were carried out once more, after a fresh one, a
                // live lock would look over. Nothing late reaches another claim's file.
                Ok(_) if self.protocol == Protocol::Link && self.env.now().since(before) > SLOW => return Ok(false),
                Ok(_) if self.protocol == Protocol::Link && !link::is_as_made(self, stake, &at) => return Ok(false),
                Ok(deadline) => (stake.lease.deadline, stake.told) = (deadline, before),
                Err(e) if is_gone(&e) => return Ok(false),
                Err(e) => return Err(Error::io(self.lock_path(), "set the expiry of a claim", e)),
            }
        }
        stake.fresh = false;
        Ok(true)
    }

    /// Moves a held lock's expiry on. To count, it must be back before `limit`; whatever fails for good makes the lock
    /// lost, and what may pass is told as an error that is no loss.
    pub(crate) fn refresh(&self, stake: &mut Stake, lifetime: Duration, limit: LocalTime) -> Result<(), Error> {
        let lost = |why| Err(Error::lost(self.lock_path(), why));
        let steps = self.protocol.steps();
        // A lock that is over may be broken at any moment: a refresh now could come between a breaker's look and its act.
        if self.env.now() >= limit && self.keeps(Step::DeadlineOfRefresh) {
            return lost(Lost::Overdue);
        }
        let held = steps.held_file(self, &stake.claim).of(stake.owner);
        let deadline = match self.set_expiry(stake, &held, self.meant(stake), lifetime) {
            Ok(deadline) => deadline,
            Err(e) if is_gone(&e) => return lost(Lost::Broken),
            Err(e) => return Err(Error::io(self.lock_path(), "refresh the lock", e)),
        };
        // The expiry may have been set on a claim that was broken: ask whether the lock is still ours.
        let before = self.env.now();
        match steps.holds(self, stake) {
            Ok(true) => stake.told = before,
            Ok(false) if self.keeps(Step::CheckAfterRefresh) => return lost(Lost::Broken),
            Ok(false) => {}
            Err(e) => return Err(Error::io(self.lock_path(), "look at the lock", e)),
        }
        // Set too late, it may have been set on what a breaker had already judged: then the old deadline stays, and the
        // lock path is not ours to touch.
        if self.env.now() >= limit && self.keeps(Step::DeadlineOfRefresh) {
            return lost(Lost::Overdue);
        }
        stake.lease.deadline = deadline;
        Ok(())
    }
}
