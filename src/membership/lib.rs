//! Who is in the mesh: ZooKeeper or a peers file, and the pinglist that follows from it.
