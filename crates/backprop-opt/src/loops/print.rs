//! A program as text, for people: buffers with their homes, then the steps.
