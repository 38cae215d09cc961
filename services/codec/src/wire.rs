//! Fields: how each domain type stands in a protobuf message.
//!
//! Reading accepts whatever writing can produce, also where the domain would refuse it (an order numbered 0): what is in
//! the log must always be readable.

use duban_aggregates::ids::{
    AppointmentNo, ClockNo, CommandId, CustomerId, DueNo, EmergencyId, EmployeeId, EscalationNo, EventId,
    HistoryId, MeasureNo, NoticeId, OrderNo, ProblemId, RequestNo, TicketId, UnitId, VerdictNo,
};
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use crate::error::{Malformed, Problem};

/// A domain type as a field of a message. What is required follows from the type: an `Option` may be absent.
pub trait Wire: Sized {
    /// The type that prost gives the field.
    type Field;

    /// Writes.
    fn put(&self) -> Self::Field;

    /// Reads.
    ///
    /// # Errors
    /// [`Malformed`] names `field`, or a field inside it.
    fn take(from: Self::Field, field: &'static str) -> Result<Self, Malformed>;
}

/// A domain type as a message of its own.
pub trait Message: Sized {
    /// The generated type.
    type Proto;

    /// Writes.
    fn put(&self) -> Self::Proto;

    /// Reads.
    ///
    /// # Errors
    /// [`Malformed`] names the field inside it.
    fn take(from: Self::Proto) -> Result<Self, Malformed>;
}

impl<T: Message> Message for Box<T> {
    type Proto = T::Proto;

    fn put(&self) -> Self::Proto {
        T::put(self)
    }

    fn take(from: Self::Proto) -> Result<Self, Malformed> {
        T::take(from).map(Self::new)
    }
}

/// Collects a repeated field.
fn take_all<W, T>(from: Vec<W>, take: impl FnMut(W) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
    from.into_iter().map(take).collect()
}

/// [`Wire`] for a type with its own [`Message`]: alone it is required.
macro_rules! message_fields {
    ($($type:ty),* $(,)?) => {$(
        impl crate::wire::Wire for $type {
            type Field = Option<<Self as crate::wire::Message>::Proto>;

            fn put(&self) -> Self::Field {
                Some(crate::wire::Message::put(self))
            }

            fn take(from: Self::Field, field: &'static str) -> Result<Self, crate::error::Malformed> {
                let missing = || crate::error::Malformed::new(field, crate::error::Problem::Missing);
                crate::wire::Message::take(from.ok_or_else(missing)?)
            }
        }

        impl crate::wire::Wire for Option<$type> {
            type Field = Option<<$type as crate::wire::Message>::Proto>;

            fn put(&self) -> Self::Field {
                self.as_ref().map(crate::wire::Message::put)
            }

            fn take(from: Self::Field, _: &'static str) -> Result<Self, crate::error::Malformed> {
                from.map(crate::wire::Message::take).transpose()
            }
        }

        impl crate::wire::Wire for Vec<$type> {
            type Field = Vec<<$type as crate::wire::Message>::Proto>;

            fn put(&self) -> Self::Field {
                self.iter().map(crate::wire::Message::put).collect()
            }

            fn take(from: Self::Field, _: &'static str) -> Result<Self, crate::error::Malformed> {
                from.into_iter().map(crate::wire::Message::take).collect()
            }
        }
    )*};
}
pub(crate) use message_fields;

/// Types that prost has too.
macro_rules! as_it_is {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            type Field = Self;

            fn put(&self) -> Self {
                self.clone()
            }

            fn take(from: Self, _: &'static str) -> Result<Self, Malformed> {
                Ok(from)
            }
        }
    )*};
}

as_it_is!(bool, u32, u64, String, Option<String>);

impl<const N: usize> Wire for [u8; N] {
    type Field = Vec<u8>;

    fn put(&self) -> Vec<u8> {
        self.to_vec()
    }

    fn take(from: Vec<u8>, field: &'static str) -> Result<Self, Malformed> {
        let length = Problem::Length { found: from.len(), needed: N };
        from.as_slice().try_into().map_err(|_| Malformed::new(field, length))
    }
}

/// One value, and the optional and repeated forms of it, by one pair of functions.
macro_rules! scalars {
    ($wire:ty: $put:expr, $take:expr => $($type:ty),* $(,)?) => {$(
        impl Wire for $type {
            type Field = $wire;

            fn put(&self) -> $wire {
                $put(self)
            }

            fn take(from: $wire, field: &'static str) -> Result<Self, Malformed> {
                $take(from, field)
            }
        }

        impl Wire for Option<$type> {
            type Field = Option<$wire>;

            fn put(&self) -> Self::Field {
                self.as_ref().map(Wire::put)
            }

            fn take(from: Self::Field, field: &'static str) -> Result<Self, Malformed> {
                from.map(|from| Wire::take(from, field)).transpose()
            }
        }

        impl Wire for Vec<$type> {
            type Field = Vec<$wire>;

            fn put(&self) -> Self::Field {
                self.iter().map(Wire::put).collect()
            }

            fn take(from: Self::Field, field: &'static str) -> Result<Self, Malformed> {
                take_all(from, |from| Wire::take(from, field))
            }
        }
    )*};
}

macro_rules! newtypes {
    ($wire:ty: $put:expr, $take:expr => $($type:ident),* $(,)?) => {
        $(
            scalars! { $wire: |id: &$type| $put(&id.0), |from, field| $take(from, field).map($type) => $type }
        )*
    };
}

newtypes! { String: Uuid::to_string, uuid => TicketId, CustomerId, CommandId, EventId, ProblemId, NoticeId, EmergencyId, HistoryId }
newtypes! { String: String::clone, kept => EmployeeId, UnitId }
newtypes! {
    u32: u32::clone, kept => OrderNo, RequestNo, ClockNo, VerdictNo, MeasureNo, DueNo, AppointmentNo, EscalationNo
}
scalars! { String: Date::to_string, date => Date }

#[allow(clippy::unnecessary_wraps, reason = "one of several readers")]
fn kept<T>(from: T, _: &'static str) -> Result<T, Malformed> {
    Ok(from)
}

#[allow(clippy::needless_pass_by_value, reason = "one of several readers")]
fn uuid(from: String, field: &'static str) -> Result<Uuid, Malformed> {
    if from.is_empty() {
        return Err(Malformed::new(field, Problem::Missing));
    }
    Uuid::try_parse(&from).map_err(|_| Malformed::new(field, Problem::NotAUuid))
}

#[allow(clippy::needless_pass_by_value, reason = "one of several readers")]
fn date(from: String, field: &'static str) -> Result<Date, Malformed> {
    if from.is_empty() {
        return Err(Malformed::new(field, Problem::Missing));
    }
    from.parse().map_err(|_| Malformed::new(field, Problem::NotADate))
}

impl Wire for Timestamp {
    type Field = Option<prost_types::Timestamp>;

    fn put(&self) -> Self::Field {
        Some(put_moment(*self))
    }

    fn take(from: Self::Field, field: &'static str) -> Result<Self, Malformed> {
        take_moment(from.ok_or_else(|| Malformed::new(field, Problem::Missing))?, field)
    }
}

impl Wire for Option<Timestamp> {
    type Field = Option<prost_types::Timestamp>;

    fn put(&self) -> Self::Field {
        self.map(put_moment)
    }

    fn take(from: Self::Field, field: &'static str) -> Result<Self, Malformed> {
        from.map(|from| take_moment(from, field)).transpose()
    }
}

/// Protobuf counts nanoseconds forward from the second, also before 1970.
fn put_moment(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = (at.as_second(), at.subsec_nanosecond());
    if nanos < 0 {
        prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 }
    } else {
        prost_types::Timestamp { seconds, nanos }
    }
}

fn take_moment(from: prost_types::Timestamp, field: &'static str) -> Result<Timestamp, Malformed> {
    let malformed = || Malformed::new(field, Problem::NotAMoment);
    if !(0..1_000_000_000).contains(&from.nanos) {
        return Err(malformed());
    }
    Timestamp::new(from.seconds, from.nanos).map_err(|_| malformed())
}
