//! Faults of the agent's own host: it is ended, killed, stopped, kept short of what it needs, moved, and its clock is set.

mod clock;
mod ending;
mod interface;
mod limits;
mod stopped;
