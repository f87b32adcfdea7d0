"""What users of a model must know that hemoseg did not bring."""

NOTICE = (
    "Research use only. Not a medical device. Not for diagnosis. "
    "The terms of the data it was trained on apply to this model."
)
"""Notice of a model that a user trained."""
TERMS = """\
Terms of these weights
======================
The weights were trained on data that hemoseg did not bring. The terms of those data, and of their labels, apply
to what may be done with the weights; whoever trained them has to know them. Research use only. Not a medical
device.
"""
"""Terms of a model that a user trained."""
