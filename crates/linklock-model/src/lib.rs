//! A model of linklock's protocols, checked in every order of its steps. docs/model.md explains it.
//!
//! To be read bottom up, in this order.

pub mod step;

pub mod claim;

pub mod server;

pub mod contender;

pub mod state;

pub mod world;

pub mod run;

pub mod program;

pub mod checks;

pub mod model;
