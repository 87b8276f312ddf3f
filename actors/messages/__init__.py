"""The shared vocabulary: every message an actor may say or hear, grouped by subject.

Prices, quantities and money are ``int`` in units of 1e-8 (``actors.values.fixed``), times ``int`` nanoseconds UTC,
symbols ``int`` ids of the run's :class:`~actors.values.Universe`. Columns inside events are little-endian bytes
(``pack_*``/``unpack_*`` in :mod:`actors.messages.columns`), so that a row of 500 symbols costs one copy.
Tags by group: 10 market, 20 inference, 30 portfolio, 40 orders, 60 risk, 70 control, 90 outreach, 100 runtime.
"""
