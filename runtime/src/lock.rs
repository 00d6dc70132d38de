use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic of whoever held the lock: what it guards is changed in single steps, so
/// it is whole, and the panic is told elsewhere.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
