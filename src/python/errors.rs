//! The one place where the core's errors become Python's.

use pyo3::prelude::*;

use crate::error::Error;

/// Makes an exception of the class `name` in `eosdb.errors` with `message`.
pub fn exception(py: Python<'_>, name: &str, message: impl Into<String>) -> PyErr {
    let message: String = message.into();
    py.import("eosdb.errors")
        .and_then(|module| module.getattr(name))
        .and_then(|class| class.call1((message,)))
        .map_or_else(|error| error, PyErr::from_value)
}

/// Tells whether `error` says that a stored value is damaged.
pub fn is_damage(py: Python<'_>, error: &PyErr) -> bool {
    py.import("eosdb.errors")
        .and_then(|module| module.getattr("DamagedRecordError"))
        .is_ok_and(|class| error.is_instance(py, &class))
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let name = match &error {
            Error::Closed { .. } => "DatabaseClosedError",
            Error::Namespace { .. } => "InvalidNamespaceError",
            Error::Key { .. } => "InvalidKeyError",
            Error::TimeRange { .. } => "TimestampRangeError",
            Error::Duplicate { .. } => "DuplicateRecordError",
            Error::Damaged { .. } | Error::Decode(_) => "DamagedRecordError",
            Error::Encode(_) | Error::Invalid(_) => "InvalidArgumentError",
            Error::Type(_) => "ArgumentTypeError",
            Error::Corrupt { .. } | Error::Malformed { .. } => "DamagedDatabaseError",
            Error::Conflict { .. } => "ConflictError",
            Error::NotConserved { .. } => "ConservationError",
            Error::Full { .. } => "DiskFullError",
            Error::ForeignProcess { .. } => "ForeignProcessError",
            Error::Forked { .. } => "ForkedError",
            Error::ReadOnly { .. } => "ReadOnlyError",
            Error::Storage { .. } | Error::External(_) => "StorageError",
        };
        Python::attach(|py| match error {
            // A backend written in Python failed: its own exception says it best.
            Error::External(cause) => match cause.downcast::<PyErr>() {
                Ok(error) => *error,
                Err(cause) => exception(py, name, cause.to_string()),
            },
            Error::Damaged { namespace, key, cause } => {
                let message = Error::Damaged {
                    namespace: namespace.clone(),
                    key: key.clone(),
                    cause: cause.clone(),
                }
                .to_string();
                let error = exception(py, name, message);
                let value = error.value(py);
                for (attribute, text) in [("namespace", namespace), ("key", key), ("cause", cause)]
                {
                    if let Err(error) = value.setattr(attribute, text) {
                        return error;
                    }
                }
                error
            }
            error => exception(py, name, error.to_string()),
        })
    }
}
