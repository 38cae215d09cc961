//! What is under way to Kafka, in the log's order, and how far all of it has arrived.

use std::collections::VecDeque;
use std::sync::Arc;

use duban_log::{Position, Recorded, StreamName};
use uuid::Uuid;

/// Events under way at most.
const EVENTS_MAX: usize = 20_000;

/// Bytes of records under way at most.
const BYTES_MAX: usize = 64 << 20;

/// An event by which a place in the log can be found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    pub(super) event: Uuid,
    pub(super) stream: StreamName,
    pub(super) revision: u64,
}

impl Mark {
    pub(super) fn of(event: &Recorded) -> Arc<Self> {
        Arc::new(Self {
            position: event.position,
            event: event.id,
            stream: event.stream.clone(),
            revision: event.revision,
        })
    }
}

struct UnderWay {
    mark: Arc<Mark>,
    bytes: usize,
    arrived: bool,
}

/// Events under way.
#[derive(Default)]
pub(super) struct Window {
    /// The number of the first one.
    first: usize,
    events: VecDeque<UnderWay>,
    bytes: usize,
    contiguous: Option<Arc<Mark>>,
    arrived: u64,
}

impl Window {
    /// Whether one more may go.
    pub(super) fn has_room(&self) -> bool {
        self.events.len() < EVENTS_MAX && self.bytes < BYTES_MAX
    }

    /// The number that the next one gets.
    pub(super) fn next(&self) -> usize {
        self.first + self.events.len()
    }

    /// Takes in the next event of the log; answers its number, by which [`Window::arrived`] knows it.
    pub(super) fn push(&mut self, mark: Arc<Mark>, bytes: usize) -> usize {
        let number = self.next();
        self.bytes += bytes;
        self.events.push_back(UnderWay { mark, bytes, arrived: false });
        number
    }

    /// Kafka has this one.
    pub(super) fn arrived(&mut self, number: usize) {
        if let Some(event) =
            number.checked_sub(self.first).and_then(|index| self.events.get_mut(index)).filter(|e| !e.arrived)
        {
            event.arrived = true;
            self.arrived += 1;
        }
        while let Some(event) = self.events.pop_front_if(|event| event.arrived) {
            self.first += 1;
            self.bytes -= event.bytes;
            self.contiguous = Some(event.mark);
        }
    }

    /// The last event before which nothing is missing in Kafka; none where nothing has arrived in this window yet.
    pub(super) fn contiguous(&self) -> Option<&Arc<Mark>> {
        self.contiguous.as_ref()
    }

    /// Events under way.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Events that arrived in this window.
    pub(super) fn count(&self) -> u64 {
        self.arrived
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(position: u64) -> Arc<Mark> {
        Arc::new(Mark {
            position: Position::new(position),
            event: Uuid::from_u128(position.into()),
            stream: StreamName::new("office").unwrap(),
            revision: position,
        })
    }

    #[test]
    fn the_end_of_what_arrived_without_a_gap_never_leads() {
        let mut window = Window::default();
        let numbers: Vec<_> = (10..16).map(|position| window.push(mark(position), 1)).collect();
        let reached = |window: &Window| window.contiguous().map(|mark| mark.position.get());
        window.arrived(numbers[1]);
        window.arrived(numbers[3]);
        assert_eq!((reached(&window), window.len()), (None, 6), "the first is missing");
        window.arrived(numbers[0]);
        assert_eq!((reached(&window), window.len()), (Some(11), 4));
        window.arrived(numbers[0]);
        window.arrived(numbers[2]);
        assert_eq!((reached(&window), window.len(), window.count()), (Some(13), 2, 4));
        let more = window.push(mark(20), 1);
        window.arrived(more);
        window.arrived(numbers[5]);
        assert_eq!(reached(&window), Some(13));
        window.arrived(numbers[4]);
        assert_eq!((reached(&window), window.is_empty(), window.bytes), (Some(20), true, 0));
    }

    #[test]
    fn it_is_bounded_by_events_and_by_bytes() {
        let mut window = Window::default();
        for position in 0..EVENTS_MAX as u64 {
            assert!(window.has_room());
            window.push(mark(position), 1);
        }
        assert!(!window.has_room());
        let mut window = Window::default();
        window.push(mark(0), BYTES_MAX);
        assert!(!window.has_room());
    }
}
