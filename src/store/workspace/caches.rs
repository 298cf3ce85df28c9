//! Caches of one process, by type. Each module defines the type of its own cache; a new cached kind of file needs no
//! change here.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One value of each cache type.
#[derive(Debug, Default)]
pub(in crate::store) struct Caches(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Caches {
    /// The cache of type `T`, created empty on first use. It has a lock of its own: this one is released on return.
    pub(in crate::store) fn of<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut caches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = caches.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        // The key is the type, so the downcast cannot fail.
        Arc::clone(cache).downcast().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Names(Mutex<Vec<String>>);
    #[derive(Default)]
    struct Sizes(Mutex<Vec<u64>>);

    #[test]
    fn each_type_has_one_cache() {
        let caches = Caches::default();
        caches.of::<Names>().0.lock().unwrap().push("a".to_owned());
        caches.of::<Sizes>().0.lock().unwrap().push(1);
        assert_eq!(*caches.of::<Names>().0.lock().unwrap(), ["a"]);
        assert_eq!(*caches.of::<Sizes>().0.lock().unwrap(), [1]);
        assert!(Arc::ptr_eq(&caches.of::<Names>(), &caches.of::<Names>()));
    }
}
