//! Event logs behind one trait: segmented on disk, and in memory.
