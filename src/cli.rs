//! The commands of the program `topreward`.
