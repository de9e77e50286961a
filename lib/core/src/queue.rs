//! The bounded line of requests that wait for an instance: first come, first served, and a way back to the front.

use std::collections::BTreeMap;

/// A bounded first-in, first-out line of `W`.
#[derive(Debug)]
pub struct Queue<W> {
    capacity: usize,
    /// By position; the next to the back is `back`, the next to the front is `front`.
    line: BTreeMap<i64, W>,
    front: i64,
    back: i64,
}

/// A place in a line, to leave it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(i64);

/// The line is full; the one who wanted in is handed back.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<W>(pub W);

// === impl Queue ===

impl<W> Queue<W> {
    /// An empty line for at most `capacity`.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { capacity, line: BTreeMap::new(), front: -1, back: 0 }
    }

    /// Joins at the back.
    ///
    /// # Errors
    /// The line is full.
    pub fn join(&mut self, waiter: W) -> Result<Place, Full<W>> {
        if self.line.len() >= self.capacity {
            return Err(Full(waiter));
        }
        let place = self.back;
        self.back += 1;
        self.line.insert(place, waiter);
        Ok(Place(place))
    }

    /// Joins at the front: for one that has waited its turn before and lost its instance. It had a place, so it is let in
    /// even when others have filled the line since; the excess is bounded by what was in flight.
    pub fn rejoin(&mut self, waiter: W) -> Place {
        let place = self.front;
        self.front -= 1;
        self.line.insert(place, waiter);
        Place(place)
    }

    /// Leaves; `None` when already taken.
    pub fn leave(&mut self, place: Place) -> Option<W> {
        self.line.remove(&place.0)
    }

    /// Takes the first.
    pub fn take(&mut self) -> Option<W> {
        self.line.pop_first().map(|(_, waiter)| waiter)
    }

    /// Takes all, in order.
    pub fn take_all(&mut self) -> impl Iterator<Item = W> + use<W> {
        std::mem::take(&mut self.line).into_values()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_come_first_served() {
        let mut queue = Queue::new(3);
        for waiter in 1..=3 {
            queue.join(waiter).unwrap();
        }
        assert_eq!(queue.take_all().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_full_line_refuses_and_hands_back() {
        let mut queue = Queue::new(1);
        queue.join("first").unwrap();
        assert_eq!(queue.join("second"), Err(Full("second")));
    }

    #[test]
    fn who_lost_an_instance_comes_back_to_the_front() {
        let mut queue = Queue::new(2);
        queue.join("b").unwrap();
        queue.join("c").unwrap();
        queue.rejoin("a");
        assert_eq!(queue.take_all().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn who_leaves_makes_room() {
        let mut queue = Queue::new(1);
        let place = queue.join("gone").unwrap();
        assert_eq!(queue.leave(place), Some("gone"));
        assert_eq!(queue.leave(place), None);
        assert!(queue.join("next").is_ok());
    }

    proptest! {
        #[test]
        fn the_line_never_grows_beyond_its_capacity_and_keeps_its_order(
            steps in proptest::collection::vec(0u8..3, 0..200),
        ) {
            let mut queue = Queue::new(8);
            let mut model = std::collections::VecDeque::new();
            let mut places = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    0 => match queue.join(number) {
                        Ok(place) => {
                            model.push_back(number);
                            places.push((place, number));
                        }
                        Err(_) => prop_assert_eq!(model.len(), 8),
                    },
                    1 => prop_assert_eq!(queue.take(), model.pop_front()),
                    _ => if let Some((place, left)) = places.pop() {
                        let expected = model.iter().position(|&waiter| waiter == left).map(|at| model.remove(at));
                        prop_assert_eq!(queue.leave(place), expected.flatten());
                    },
                }
                prop_assert_eq!(queue.len(), model.len());
            }
        }
    }
}
