/* linklock: locks that are only a path on a file system that processes on one or many machines share.
 *
 * Made by cbindgen from crates/linklock-c/src; do not edit. docs/c.md explains the library with an example.
 *
 * Rules for all functions:
 *
 * - A function that returns int32_t returns LINKLOCK_OK or another of the codes below, unless it says otherwise.
 * - `error` is the caller's memory. Each call that takes it fills it, also on success: then its code is LINKLOCK_OK and its
 *   message is empty. NULL: the caller wants no message. Nothing in it has to be freed.
 * - What a function gives through a pointer to a pointer belongs to the caller, until he passes it to the function that frees
 *   its type. After a failure it is NULL. To free NULL does nothing.
 * - NULL for an argument that must not be NULL, a number out of range or a text that is not valid gives LINKLOCK_INVALID and
 *   changes nothing. A pointer that is not NULL must point to what its type says.
 * - Texts end with a NUL. A path is bytes, in no particular encoding (on Windows: UTF-8). All other texts are UTF-8. The library
 *   copies the texts that it is given.
 * - Times are in milliseconds.
 * - No function ends the process, unless it runs out of memory, and none throws or unwinds. An error inside the library gives
 *   LINKLOCK_INTERNAL.
 * - A function that says no more about threads may be called by several at the same time, with the same objects. To free an
 *   object, no other call may be using it.
 * - The library handles no signals and sets no handlers. Its threads have the signal mask of the thread that started them: the
 *   first that acquires a lock that is kept alive, one that calls linklock_loss_fd, or one that waits for a lock.
 *
 * A forked child has the objects of its parent, but holds none of its locks. There each guard counts as lost; refresh, release,
 * leave and the like give LINKLOCK_NOT_HELD; to free a guard leaves the parent's lock alone. The child may acquire locks of its
 * own, and adopt one by its token. The library waits there for nothing that a thread of the parent had locked. It allocates
 * memory, which glibc allows in the child of a process with several threads, and POSIX does not promise. To fork is safe at any
 * time, but the child must not use options or free anything that a call in another thread was using.
 */


#ifndef LINKLOCK_H
#define LINKLOCK_H

#include <stddef.h>
#include <stdint.h>


/*
 The version of this header; linklock_version is that of the library.
 */
#define LINKLOCK_VERSION_MAJOR 0

/*
 The version of this header.
 */
#define LINKLOCK_VERSION_MINOR 1

/*
 The version of this header.
 */
#define LINKLOCK_VERSION_PATCH 0

/*
 Waits for the lock for ever.
 */
#define LINKLOCK_FOREVER -1

/*
 The call did what it says.
 */
#define LINKLOCK_OK 0

/*
 The lock was not acquired in time. The message says who holds it.
 */
#define LINKLOCK_TIMEOUT 1

/*
 The lock was held and is lost: it expired or was broken. Stop the work that needs it.
 */
#define LINKLOCK_LOST 2

/*
 The guard, or the claim of this token, does not hold the lock.
 */
#define LINKLOCK_NOT_HELD 3

/*
 Something that is not a lock is at the lock path. linklock does not touch it.
 */
#define LINKLOCK_NOT_A_LOCK 4

/*
 The file system cannot do what the protocol needs.
 */
#define LINKLOCK_UNSUPPORTED 5

/*
 The lock has expired, but this user may not break it.
 */
#define LINKLOCK_CANNOT_BREAK 6

/*
 An argument, an option or a path is not valid. Nothing was changed.
 */
#define LINKLOCK_INVALID 7

/*
 The claim could not be made: there is no such directory, no space, or the name is too long.
 */
#define LINKLOCK_CANNOT_CREATE 8

/*
 This user may not do that here, or others may do too much (linklock_options_set_require_private).
 */
#define LINKLOCK_PERMISSION 9

/*
 Any other error of the file system or of the system.
 */
#define LINKLOCK_IO 10

/*
 An error in linklock itself. Please report it.
 */
#define LINKLOCK_INTERNAL 11

/*
 Room for a message of an error, with its NUL.
 */
#define LINKLOCK_MESSAGE_SIZE 2040

/*
 A claim file, hard-linked to the lock path. Compatible with flufl.lock. The default.
 */
#define LINKLOCK_PROTOCOL_LINK 1

/*
 A claim directory, renamed to the lock path. Safer: no step of it can remove another holder's lock.
 */
#define LINKLOCK_PROTOCOL_DIR 2

/*
 There is no lock. The first contender acquires it.
 */
#define LINKLOCK_STATE_FREE 1

/*
 There is a lock, within its lifetime.
 */
#define LINKLOCK_STATE_HELD 2

/*
 There is a lock, and its lifetime has ended. A contender breaks it after the grace.
 */
#define LINKLOCK_STATE_EXPIRED 3

/*
 There is a lock, and its holder's process, on this machine, has ended. The next contender breaks it.
 */
#define LINKLOCK_STATE_ABANDONED 4

/*
 Something that is not a lock is at the lock path.
 */
#define LINKLOCK_STATE_NOT_A_LOCK 5

/*
 Room for the name of a host, with its NUL.
 */
#define LINKLOCK_HOST_SIZE 256

/*
 Room for a token, with its NUL.
 */
#define LINKLOCK_TOKEN_SIZE 768

/*
 Room for a text about a lock, with its NUL.
 */
#define LINKLOCK_TEXT_SIZE 1024

/*
 A held lock: linklock_acquire, linklock_adopt. Threads may share it.

 Calls that ask the file system wait for each other: linklock_refresh, linklock_keep_alive, linklock_release, linklock_leave
 and linklock_guard_free. All others return immediately, also while a file system hangs.
 */
typedef struct linklock_guard linklock_guard;

/*
 A lock path with its options: linklock_lock_new. It does not hold the lock. Threads may share it.

 It remembers what it has found out about the file system and, where no clocks can be compared, for how long it has seen the
 lock unchanged. So use one for several attempts.
 */
typedef struct linklock_lock linklock_lock;

/*
 Options of a lock: linklock_options_new. One thread at a time may use it.
 */
typedef struct linklock_options linklock_options;

/*
 What a call tells of its failure, in the caller's memory. This type never changes within an ABI.
 */
typedef struct linklock_error {
    /*
     What the call returned, or would return: LINKLOCK_OK or another of the codes.
     */
    int32_t code;
    /*
     The system's error number (errno; on Windows that of GetLastError), if that is the reason; else 0.
     */
    int32_t os_error;
    /*
     One line of UTF-8 that is safe to print: what failed, where, why, who holds the lock, what to do. Cut if it is too long.
     */
    char message[LINKLOCK_MESSAGE_SIZE];
} linklock_error;

/*
 What is at a lock path. Whoever may write to the lock's directory can forge what a holder says about itself.

 Later versions of the library may add fields at the end: linklock_inspect is passed the size that the program knows.
 */
typedef struct linklock_status {
    /*
     LINKLOCK_STATE_FREE or another of the states; 0 after a failure.
     */
    int32_t state;
    /*
     The protocol by which the lock is held; 0 if there is no lock.
     */
    int32_t protocol;
    /*
     1 if the next contender can acquire the lock immediately, else 0.
     */
    int32_t available;
    /*
     How many share the lock; 0 if it is not shared.
     */
    uint32_t readers;
    /*
     The holder's process, on its machine; 0 if it is not known.
     */
    uint32_t pid;
    /*
     0. For later versions.
     */
    uint32_t reserved;
    /*
     How much of the lifetime is left; 0 if it has ended or is not known.
     */
    int64_t remaining_ms;
    /*
     When the lifetime ends, on the file server's clock, since the Unix epoch; 0 if that is not known.
     */
    int64_t expires_at_ms;
    /*
     The name of the holder's machine, safe to print; empty if it is not known.
     */
    char host[LINKLOCK_HOST_SIZE];
    /*
     The name of the holder's claim, as it is on disk and so not always safe to print; empty if it is not known.
     */
    char token[LINKLOCK_TOKEN_SIZE];
    /*
     One line for people, safe to print: who holds the lock, or what is there.
     */
    char text[LINKLOCK_TEXT_SIZE];
} linklock_status;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The version of the library: major * 1000000 + minor * 1000 + patch.

 A program runs with each later library of the same soname, which has the same ABI. Before version 1.0, the soname may change
 with each minor version.
 */
uint32_t linklock_version(void);

/*
 Options with their defaults, to be freed by linklock_options_free.

 The setters return LINKLOCK_OK or LINKLOCK_INVALID. linklock_lock_new reports the first setting that was not valid, so a
 program need not look at what each setter returns.
 */
struct linklock_options *linklock_options_new(void);

/*
 Frees options. Locks that were made with them do not need them any more.
 */
void linklock_options_free(struct linklock_options *options);

/*
 LINKLOCK_PROTOCOL_LINK, the default, or LINKLOCK_PROTOCOL_DIR. All contenders of a path must use the same.
 */
int32_t linklock_options_set_protocol(struct linklock_options *options, int32_t protocol);

/*
 How long the lock lasts without a refresh: 15 s unless set; 10 ms to ten years.
 */
int32_t linklock_options_set_lifetime_ms(struct linklock_options *options, int64_t lifetime_ms);

/*
 How long after its expiry a lock is broken: 10 s unless set; ten years at most.
 */
int32_t linklock_options_set_grace_ms(struct linklock_options *options, int64_t grace_ms);

/*
 Whether a background thread refreshes the lock while it is held. Off (0) unless set; any other number is on.
 */
int32_t linklock_options_set_keep_alive(struct linklock_options *options, int32_t on);

/*
 Whether each acquisition gets a fencing token: linklock_fencing_token. Off unless set. All contenders should have it on.
 */
int32_t linklock_options_set_fence(struct linklock_options *options,
                                   int32_t on);

/*
 Whether contenders take the lock in the order in which they came. Off unless set.
 */
int32_t linklock_options_set_queue(struct linklock_options *options, int32_t on);

/*
 Whether the lock is shared with others that acquire it so. Off unless set. Needs LINKLOCK_PROTOCOL_DIR; not on Windows.
 */
int32_t linklock_options_set_shared(struct linklock_options *options,
                                    int32_t on);

/*
 Whether the lock is refused in a directory that others may write to. Off unless set. Not on Windows.
 */
int32_t linklock_options_set_require_private(struct linklock_options *options, int32_t on);

/*
 Whether the lock may be on a file system where the protocol is known to fail. Off unless set.
 */
int32_t linklock_options_set_allow_unsafe_file_system(struct linklock_options *options, int32_t on);

/*
 What others are told that the holder runs, with LINKLOCK_PROTOCOL_DIR: the name of its process unless set. All who may read
 the lock can read it, so it must hold no secret.
 */
int32_t linklock_options_set_command(struct linklock_options *options,
                                     const char *command);

/*
 The name that others see for this machine: its host name unless set. It must differ between machines.
 */
int32_t linklock_options_set_host(struct linklock_options *options, const char *host);

/*
 A lock at this path, to be freed by linklock_lock_free. Touches nothing on disk. A relative path starts at the directory that is
 the current one now. `options` may be NULL, for the defaults.
 */
int32_t linklock_lock_new(const char *path,
                          const struct linklock_options *options,
                          struct linklock_lock **lock,
                          struct linklock_error *error);

/*
 Frees a lock. Guards that were acquired with it stay as they are.
 */
void linklock_lock_free(struct linklock_lock *lock);

/*
 Acquires the lock, and waits for it for `timeout_ms` at most: 0 is one try without waiting, LINKLOCK_FOREVER no limit. Every
 try also breaks a lock that has expired. The guard is to be freed by linklock_guard_free.
 */
int32_t linklock_acquire(const struct linklock_lock *lock,
                         int64_t timeout_ms,
                         struct linklock_guard **guard,
                         struct linklock_error *error);

/*
 Takes over a lock that another process of this user acquired and left (linklock_leave), by its token. The guard is to be freed
 by linklock_guard_free.
 */
int32_t linklock_adopt(const struct linklock_lock *lock,
                       const char *token,
                       struct linklock_guard **guard,
                       struct linklock_error *error);

/*
 Looks at the lock path, and changes nothing. `size` is sizeof(linklock_status) in the program; the library writes no more than
 that, and zeroes what it does not know. After a failure `status` is all zeroes; with a `size` that no version of the type has,
 nothing is written.
 */
int32_t linklock_inspect(const struct linklock_lock *lock,
                         struct linklock_status *status,
                         size_t size,
                         struct linklock_error *error);

/*
 Moves the expiry on by the lifetime, counted from now. LINKLOCK_LOST: a lost lock is not revived. After any other failure the
 refresh may be tried again until the deadline.
 */
int32_t linklock_refresh(struct linklock_guard *guard,
                         struct linklock_error *error);

/*
 Keeps the lock alive from now on, as linklock_options_set_keep_alive does from the beginning.
 */
int32_t linklock_keep_alive(struct linklock_guard *guard, struct linklock_error *error);

/*
 Releases the lock. The guard must still be freed. LINKLOCK_LOST: what was done under the lock may have been done by another
 holder too. After a failure of the file system the release may be tried again.
 */
int32_t linklock_release(struct linklock_guard *guard,
                         struct linklock_error *error);

/*
 Leaves the lock held, for another process to adopt, refresh or release by its token. It is not kept alive any more. The guard
 must still be freed.
 */
int32_t linklock_leave(struct linklock_guard *guard,
                       struct linklock_error *error);

/*
 Frees a guard, with its token and its descriptor. A lock that it still holds is released; only linklock_release says whether
 that went well.
 */
void linklock_guard_free(struct linklock_guard *guard);

/*
 1 if the lock is lost: its deadline has passed, or it was found broken; also in a forked child, and for NULL. Else 0, also once
 it was released in time. Ask before each step that must happen under the lock: it costs a look at the clock.
 */
int32_t linklock_is_lost(const struct linklock_guard *guard);

/*
 How much longer the lock can be trusted, rounded down; 0 if it is lost, was released or left, and for NULL.
 */
int64_t linklock_remaining_ms(const struct linklock_guard *guard);

/*
 The lock's token, by which another process can adopt the lock, and `linklock release PATH TOKEN` releases it. It belongs to the
 guard and is valid until that is freed. NULL for NULL.
 */
const char *linklock_token(const struct linklock_guard *guard);

/*
 A number that grows with each acquisition of the path, for the protected resource to check. 0, which is never such a number,
 without linklock_options_set_fence, for an adopted lock, and for NULL.
 */
uint64_t linklock_fencing_token(const struct linklock_guard *guard);

#if !defined(_WIN32)
/*
 A descriptor that becomes readable (POLLIN, at its end of file) once the lock is lost, for poll, select or an event loop; -1
 after a failure. It stays readable; it never becomes so after a release in time.

 Each call gives the same descriptor, one end of a pair of sockets, with close-on-exec. It belongs to the guard, which closes it
 when it is freed: do not close it. A copy by dup(2) is readable from then on. In a forked child a copy tells of the parent's lock.
 The first call starts a thread, which ends with the lock. A lock that is kept alive is reported lost a sixth of its lifetime
 before its deadline, so that there is time to stop; a broken one when a refresh finds it.

 Not on Windows: ask linklock_is_lost there.
 */
int32_t linklock_loss_fd(struct linklock_guard *guard,
                         struct linklock_error *error);
#endif

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LINKLOCK_H */
