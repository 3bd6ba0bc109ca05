//! secretwatch tells you that a secret in AWS Secrets Manager was read.
//!
//! Reading order, which is also the way of an event:
//! [`model`] (what a record means) → [`trail`] (where records come from and what has been read) → [`detect`] (which
//! accesses make an incident) → [`store`] (what survives a crash) → [`notify`] (how an alert reaches somebody) →
//! [`daemon`] (the loop that turns the wheel), with [`status`], where one looks at it, and [`doctor`], which asks whether
//! all of that can work. [`aws`] is where the SDK is set up, [`config`] says what the operator wants, [`cli`] what they
//! typed, and [`demo`] is an AWS account made of straw, for trying all of it without a real one.
//!
//! The arrows between these modules go one way only; `tests/` holds them to it, ARCHITECTURE.md says why.

pub mod model;

pub mod trail;

pub mod detect;

pub mod store;

pub mod report;

pub mod notify;

pub mod config;

pub mod aws;

pub mod status;

pub mod daemon;

pub mod doctor;

pub mod demo;

pub mod cli;

#[cfg(test)]
mod loopback;
