//! The token in a file that whoever changes something by the autoscaler's API must know: the autoscaler compares with it, the screen
//! sends it. Read anew for each change, for a Secret that is exchanged is exchanged in the file as well.

use std::io;
use std::path::{Path, PathBuf};

/// Names the file where the command line does not.
pub const VARIABLE: &str = "PLIMSOLL_API_TOKEN_FILE";

/// Why a file holds no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("{}: the token cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it holds cannot be sent.
    #[error("{}: {what}; a token is one line of visible ASCII characters, such as `openssl rand -hex 32` prints", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// The token as the file has it now.
///
/// # Errors
/// When there is none, or not one that a header can carry.
pub async fn read(path: &Path) -> Result<String, TokenError> {
    let unreadable = |source| TokenError::Unreadable { path: path.to_owned(), source };
    let text = tokio::fs::read_to_string(path).await.map_err(unreadable)?;
    let token = text.trim();
    let what = match token {
        "" => "it is empty",
        token if !token.bytes().all(|byte| byte.is_ascii_graphic()) => "it holds more than a token",
        token => return Ok(token.to_owned()),
    };
    Err(TokenError::Unusable { path: path.to_owned(), what })
}

/// The file that the command line names, else that of [`VARIABLE`].
pub fn file(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from))
}
