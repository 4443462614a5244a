//! Token and state service beside the filter.
