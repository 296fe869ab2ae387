//! Claims by number, sets of claims, and time.

/// Who takes part. The last number is for a contender that comes when all others have ended.
pub type Who = usize;

/// The contenders of a world at most, with the one that comes last.
pub const CONTENDERS_MOST: usize = 4;

/// The claims that each contender makes at most.
pub const CLAIMS_EACH_MOST: usize = 2;

/// All claims.
pub const CLAIMS_MOST: usize = CONTENDERS_MOST * CLAIMS_EACH_MOST;

/// Time that is left. All clocks lose one when time passes. [`FULL`]: the lifetime and the grace are left; 1: the grace; 0: nothing.
///
/// A holder's own clock may lag behind the server's by as much as the grace. So in the worst case it trusts its lock as long as
/// anything is left, and the model has only the worst case.
pub type Left = u8;

/// The lifetime and the grace.
pub const FULL: Left = 2;

/// A claim: its name is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim(u8);

impl Claim {
    /// A contender's nth claim.
    pub fn new(owner: Who, nth: usize) -> Self {
        Self((owner * CLAIMS_EACH_MOST + nth) as u8)
    }

    /// Whose claim it is.
    pub fn owner(self) -> Who {
        self.index() / CLAIMS_EACH_MOST
    }

    /// Its number among all claims.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The claim of the contender that is `names[owner]` now.
    pub fn renamed(self, names: &[Who; CONTENDERS_MOST]) -> Self {
        Self::new(names[self.owner()], self.index() % CLAIMS_EACH_MOST)
    }
}

/// A set of claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claims(u8);

impl Claims {
    /// A set of one claim.
    pub fn one(claim: Claim) -> Self {
        Self(1 << claim.index())
    }

    /// Whether the claim is in it.
    pub fn contains(self, claim: Claim) -> bool {
        self.0 & Self::one(claim).0 != 0
    }

    /// Whether none is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All claims that there can be.
    pub fn all() -> impl Iterator<Item = Claim> {
        (0..CLAIMS_MOST as u8).map(Claim)
    }

    /// Adds a claim.
    pub fn insert(&mut self, claim: Claim) {
        self.0 |= Self::one(claim).0;
    }

    /// Removes a claim. Returns whether it was in the set.
    pub fn remove(&mut self, claim: Claim) -> bool {
        let was_in = self.contains(claim);
        self.0 &= !Self::one(claim).0;
        was_in
    }

    /// The claims that are in this set only.
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// All claims in it.
    pub fn iter(self) -> impl Iterator<Item = Claim> {
        Self::all().filter(move |claim| self.contains(*claim))
    }

    /// The same claims, with other names for the contenders.
    pub fn renamed(self, names: &[Who; CONTENDERS_MOST]) -> Self {
        let mut renamed = Self::default();
        self.iter().for_each(|claim| renamed.insert(claim.renamed(names)));
        renamed
    }
}
