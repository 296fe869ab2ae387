//! The fingerprint of a process: it differs from that of every other process that has or had its pid.

const START_BITS: u32 = 22;
const BOOT_BITS: u32 = 32;

/// Differs from that of every other process that has or had the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// A hash of the machine's boot and of the namespaces in which pid and start time are valid. Never 0.
    boot: u32,
    start: u32,
}

impl Fingerprint {
    /// `boot` identifies the boot with its namespaces, `start` the start of the process.
    pub(crate) fn new(boot: &[u8], start: u64) -> Self {
        let boot = fnv1a(boot);
        let folded = (boot ^ (boot >> BOOT_BITS)) as u32;
        Self { boot: folded.max(1), start: 0 }.with_start(start)
    }

    /// The fingerprint of another process in the same boot and namespaces.
    pub(crate) fn with_start(self, start: u64) -> Self {
        let start = fnv1a(&start.to_le_bytes());
        let folded = (start ^ (start >> START_BITS) ^ (start >> (2 * START_BITS))) as u32;
        Self { boot: self.boot, start: folded & ((1 << START_BITS) - 1) }
    }

    /// 54 bits; never 0.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.boot) << START_BITS | u64::from(self.start)
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        let boot = (bits >> START_BITS) as u32;
        (boot != 0).then_some(Self { boot, start: bits as u32 & ((1 << START_BITS) - 1) })
    }

    /// Whether both are from the same boot and namespaces. Only then can pids and start times be compared.
    pub(crate) fn comparable(self, other: Self) -> bool {
        self.boot == other.boot
    }
}

/// FNV-1a, 64 bits. The hash is written to disk, so it must be the same in every build.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
