//! Read models, one file per question.
