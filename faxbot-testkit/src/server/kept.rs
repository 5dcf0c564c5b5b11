//! What is still known of calls that are gone.

use std::collections::{HashMap, VecDeque};

/// Calls that are gone and of which something is still known.
const KEPT: usize = 10_000;

/// Values by channel, the oldest dropped when there are too many.
#[derive(Debug)]
pub(super) struct Kept<T> {
    values: HashMap<String, T>,
    order: VecDeque<String>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Kept<T> {
    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.values.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.values.get_mut(id)
    }

    pub(super) fn insert(&mut self, id: &str, value: T) {
        if self.values.insert(id.to_owned(), value).is_some() {
            return;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }
}

impl<T: Default> Kept<T> {
    pub(super) fn entry(&mut self, id: &str) -> Option<&mut T> {
        if !self.values.contains_key(id) {
            self.insert(id, T::default());
        }
        self.values.get_mut(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_dropped_when_there_are_too_many() {
        let mut kept = Kept::<u32>::default();
        for number in 0..=KEPT {
            *kept.entry(&number.to_string()).unwrap() = 7;
        }
        assert_eq!(kept.get("0"), None);
        assert_eq!(kept.get("1"), Some(&7));
        assert_eq!(kept.order.len(), KEPT);
    }
}
