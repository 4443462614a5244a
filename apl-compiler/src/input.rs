//! What a policy is made of, and how the files that it names are read.

/// One file.
#[derive(Debug, Clone)]
pub struct File {
    /// What diagnostics and the debug section call it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Reads the files that a policy names (`attribute_files`). The compiler itself touches no file system.
pub trait Files {
    /// The file at a path that the policy gives, relative to the policy: the name to show for it, and its text.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, in the reader's terms.
    fn read(&self, path: &str) -> Result<(String, String), String>;
}

/// No files: a policy that names one does not compile.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &str) -> Result<(String, String), String> {
        Err("this policy was given as text, without a folder to look in".to_owned())
    }
}

/// A policy: a platform file, and perhaps one file for each team.
pub struct Policy<'a> {
    /// The platform's file, or the only one.
    pub main: File,
    /// The teams' files.
    pub teams: Vec<File>,
    /// Reads what they name.
    pub files: &'a dyn Files,
}
