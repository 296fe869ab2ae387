//! One value for each process.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// One value for each process, created when it is first needed.
///
/// A forked child has none of its parent's other threads, and a mutex may stay locked there for ever. So a child
/// creates its own value and leaves its parent's alone. This type itself uses no mutex, which a fork could leave
/// locked.
#[derive(Debug)]
pub(crate) struct PerProcess<T>(AtomicPtr<Of<T>>);

#[derive(Debug)]
struct Of<T> {
    /// The process's generation, see [`Env::generation`](super::Env::generation).
    process: u64,
    value: T,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The value for the process of this generation.
    pub(crate) fn get(&'static self, process: u64, new: impl Fn() -> T) -> &'static T {
        let mut current = self.0.load(Ordering::Acquire);
        loop {
            #[expect(unsafe_code, reason = "what is replaced in a forked child may be no lock")]
            // SAFETY: a stored pointer came from a box that is never freed: a forked child leaves its parent's value
            // alone.
            if let Some(of) = unsafe { current.as_ref() }
                && of.process == process
            {
                return &of.value;
            }
            let made = Box::into_raw(Box::new(Of { process, value: new() }));
            match self.0.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => current = made,
                Err(first) => {
                    #[expect(unsafe_code, reason = "it was not published, and is to be freed")]
                    // SAFETY: it came from a box just now, and was not published.
                    drop(unsafe { Box::from_raw(made) });
                    current = first;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_keeps_its_value_and_a_child_has_another() {
        static VALUES: PerProcess<u64> = PerProcess::new();
        let parents = VALUES.get(1, || 11);
        assert_eq!((*parents, *VALUES.get(1, || 12)), (11, 11));
        assert_eq!((*VALUES.get(2, || 22), *VALUES.get(2, || 23)), (22, 22));
        assert_eq!(*parents, 11, "the parent's is left alone");
    }

    /// Threads that ask for it at the same time. Miri and ThreadSanitizer see whether one may read what another is still writing.
    #[test]
    fn threads_that_need_it_first_share_one_value() {
        static VALUES: PerProcess<Vec<u64>> = PerProcess::new();
        let found = std::thread::scope(|scope| {
            let threads = [1, 2, 3].map(|n| scope.spawn(move || VALUES.get(1, || vec![n; 3])));
            threads.map(|thread| thread.join().unwrap())
        });
        assert!(found.iter().all(|values| ptr::eq(*values, found[0]) && **values == [values[0]; 3]));
    }
}
