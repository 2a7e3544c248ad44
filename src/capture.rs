//! What collectors write (base64, CSV dialects, OA3.xml) to hashes.
