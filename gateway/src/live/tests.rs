//! Tests of the living part.
