//! What we have applied (ledger) and what is under way (journal).
