//! Why a command did not do what was asked: one message and an exit code.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use backprop_io::IoError;
use backprop_train::data::DataError;

use crate::talk;

/// A message for stderr and the exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: Option<String>,
}

impl Failure {
    /// It was tried and failed: exit code 1.
    pub fn failed(message: impl Display) -> Failure {
        Failure { code: 1, message: Some(message.to_string()) }
    }

    /// It cannot be done as asked: exit code 2.
    pub fn usage(message: impl Display) -> Failure {
        Failure { code: 2, message: Some(message.to_string()) }
    }

    /// The same message, of what was tried and failed: what is wrong is a file, not the call.
    pub fn of_a_file(self) -> Failure {
        Failure { code: 1, ..self }
    }

    /// Standard output cannot be written. A reader who has seen enough (`| head`) is no error.
    pub fn stdout(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { code: 0, message: None },
            _ => Failure::failed(format!("cannot write to standard output: {error}")),
        }
    }

    /// Says it on stderr.
    pub fn report(self) -> ExitCode {
        if let Some(message) = self.message {
            talk::say(format!("error: {message}"));
        }
        ExitCode::from(self.code)
    }
}

impl From<IoError> for Failure {
    fn from(error: IoError) -> Failure {
        Failure::failed(error)
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Failure {
        Failure::failed(error)
    }
}

impl From<backprop_core::Error> for Failure {
    fn from(error: backprop_core::Error) -> Failure {
        Failure::failed(error)
    }
}

impl From<backprop_core::ArrayError> for Failure {
    fn from(error: backprop_core::ArrayError) -> Failure {
        Failure::failed(error)
    }
}
