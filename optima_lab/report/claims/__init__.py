"""The paper's claims, the evidence for them, and the verdicts."""
