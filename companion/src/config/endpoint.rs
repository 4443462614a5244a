//! Which URLs the companion is willing to send a secret to.

use axum::http::Uri;

/// Why an endpoint is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an absolute URL.
    #[error("`{0}` is not an absolute URL")]
    NotAbsolute(String),
    /// Plain HTTP without permission.
    #[error("`{0}` is plain HTTP; use https, or allow HTTP for this endpoint in development")]
    PlainHttp(String),
    /// Neither HTTP nor HTTPS.
    #[error("`{0}` is neither https nor http")]
    Scheme(String),
    /// Credentials in the URL end up in logs.
    #[error("the URL of host `{0}` carries credentials; name them by reference instead")]
    Credentials(String),
}

/// Parses an endpoint that may be called.
pub(super) fn parse(text: &str, allow_http: bool) -> Result<Uri, EndpointError> {
    let uri: Uri = text
        .parse()
        .map_err(|_| EndpointError::NotAbsolute(text.to_owned()))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(EndpointError::NotAbsolute(text.to_owned()));
    };
    if authority.as_str().contains('@') {
        return Err(EndpointError::Credentials(authority.host().to_owned()));
    }
    match scheme {
        "https" => Ok(uri),
        "http" if allow_http => Ok(uri),
        "http" => Err(EndpointError::PlainHttp(text.to_owned())),
        _ => Err(EndpointError::Scheme(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_plain_http_unless_allowed() {
        assert!(matches!(
            parse("http://idp.example/token", false),
            Err(EndpointError::PlainHttp(_))
        ));
        assert!(parse("http://idp.example/token", true).is_ok());
        assert!(parse("https://idp.example/token", false).is_ok());
    }

    #[test]
    fn refuses_credentials_relative_urls_and_other_schemes() {
        assert!(matches!(
            parse("https://u:p@idp.example/token", false),
            Err(EndpointError::Credentials(host)) if host == "idp.example"
        ));
        assert!(matches!(
            parse("/token", true),
            Err(EndpointError::NotAbsolute(_))
        ));
        assert!(matches!(
            parse("ftp://idp.example/token", true),
            Err(EndpointError::Scheme(_))
        ));
    }
}
