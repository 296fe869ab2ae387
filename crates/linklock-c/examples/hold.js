// Holds a lock from Node.js, by the C library and koffi: node hold.js LOCKPATH
// Beside this: npm install koffi@3, and LD_LIBRARY_PATH if liblinklock.so.0 is in no directory of the system's.
const koffi = require('koffi');

const lib = koffi.load('liblinklock.so.0');
koffi.struct('linklock_error', { code: 'int32_t', os_error: 'int32_t', message: koffi.array('char', 2040, 'String') });
for (const type of ['linklock_options', 'linklock_lock', 'linklock_guard']) koffi.opaque(type);
const newOptions = lib.func('linklock_options *linklock_options_new()');
const freeOptions = lib.func('void linklock_options_free(linklock_options *options)');
const setKeepAlive = lib.func('int32_t linklock_options_set_keep_alive(linklock_options *options, int32_t on)');
const newLock = lib.func('int32_t linklock_lock_new(const char *path, linklock_options *options, _Out_ linklock_lock **lock, _Out_ linklock_error *error)');
const freeLock = lib.func('void linklock_lock_free(linklock_lock *lock)');
const acquire = lib.func('int32_t linklock_acquire(linklock_lock *lock, int64_t timeout_ms, _Out_ linklock_guard **guard, _Out_ linklock_error *error)');
const isLost = lib.func('int32_t linklock_is_lost(linklock_guard *guard)');
const token = lib.func('const char *linklock_token(linklock_guard *guard)');
const release = lib.func('int32_t linklock_release(linklock_guard *guard, _Out_ linklock_error *error)');
const freeGuard = lib.func('void linklock_guard_free(linklock_guard *guard)');

function check(code, error) {
    if (code !== 0) throw new Error(error.message);
}

async function hold(path, work) {
    const [lock, guard, error, options] = [[null], [null], {}, newOptions()];
    setKeepAlive(options, 1);
    const code = newLock(path, options, lock, error);
    freeOptions(options);
    check(code, error);
    try {
        // In a thread of its own: the event loop goes on meanwhile.
        const waited = await new Promise((done, fail) => acquire.async(lock[0], 30000, guard, error, (e, code) => e ? fail(e) : done(code)));
        check(waited, error);
        await work(guard[0]);
        check(release(guard[0], error), error);
    } finally {
        freeGuard(guard[0]);
        freeLock(lock[0]);
    }
}

hold(process.argv[2], async (guard) => {
    // Ask before each step that must happen under the lock.
    if (isLost(guard)) throw new Error('the lock is lost');
    console.log(`under the lock of ${token(guard)}`);
}).catch((e) => {
    console.error(e.message);
    process.exitCode = 1;
});
