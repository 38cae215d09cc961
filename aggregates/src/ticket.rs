//! The ticket: complaint, fault and install on one chain. This file joins the modules that hold the rules;
//! [`crate::chain`] is the place to start reading.

use crate::{chain, clock, contact, fault, gate, install, intake, money, order, verdict};

/// What happened to a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Around the chain.
    Intake(intake::Event),
    /// Talk with the customer and outside bodies.
    Contact(contact::Event),
    /// On the chain.
    Chain(chain::Event),
    /// To orders.
    Order(order::Event),
    /// To clocks.
    Clock(clock::Event),
    /// To gates and measures.
    Gate(gate::Event),
    /// To verdicts.
    Verdict(verdict::Event),
    /// To dues.
    Money(money::Event),
    /// Faults only.
    Fault(fault::Event),
    /// Installs, and appointments.
    Install(install::Event),
}

/// What may be asked of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Around the chain.
    Intake(intake::Command),
    /// Talk with the customer and outside bodies.
    Contact(contact::Command),
    /// On the chain.
    Chain(chain::Command),
    /// To orders.
    Order(order::Command),
    /// To clocks.
    Clock(clock::Command),
    /// To gates and measures.
    Gate(gate::Command),
    /// To verdicts.
    Verdict(verdict::Command),
    /// To dues.
    Money(money::Command),
    /// Faults only.
    Fault(fault::Command),
    /// Installs, and appointments.
    Install(install::Command),
}

macro_rules! wrap {
    ($($module:ident => $variant:ident),* $(,)?) => {$(
        impl From<$module::Event> for Event {
            fn from(event: $module::Event) -> Self {
                Self::$variant(event)
            }
        }

        impl From<$module::Command> for Command {
            fn from(command: $module::Command) -> Self {
                Self::$variant(command)
            }
        }
    )*};
}

wrap! {
    intake => Intake, contact => Contact, chain => Chain, order => Order, clock => Clock, gate => Gate,
    verdict => Verdict, money => Money, fault => Fault, install => Install,
}
