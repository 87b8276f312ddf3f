"""Sentences of our own, by what makes them easy or hard. Nothing is trained on them or chosen by them.

They may be passed on, so the shipped model's answers to them are checked wherever the tests run. A dozen sentences
measure roughly: they say which kinds of text to distrust, not how much.
"""

from __future__ import annotations

from typing import Final

from sentiment_data import LABELS, Example

_NEGATIVE, _NEUTRAL, _POSITIVE = range(len(LABELS))

PLAIN: Final = {
    _NEGATIVE: (
        "Retailer files for bankruptcy after sales collapse",
        "Chipmaker shares plunge 18% on disappointing forecast",
        "Airline cuts full-year outlook, stock tumbles",
        "Bank downgraded to Sell on credit losses",
        "Drugmaker stock crashes after failed trial",
        "Regulator fines lender over fraud, shares slide",
        "Carmaker recalls two million vehicles, shares drop",
        "Company misses earnings estimates and suspends dividend",
    ),
    _NEUTRAL: (
        "Company to present at investor conference in Boston next week",
        "Board appoints new independent director",
        "Earnings call scheduled for Thursday at 5 pm",
        "Annual report now available on the website",
        "The week ahead: what investors should know",
        "Central bank publishes minutes of its March meeting",
        "The firm is headquartered in Denver and employs 400 people",
        "Company to move its listing to another exchange",
    ),
    _POSITIVE: (
        "Software maker beats earnings estimates and raises guidance",
        "Shares surge 15% to record high after strong quarter",
        "Biotech soars as regulator approves cancer drug",
        "Analyst upgrades retailer to Buy, lifts price target",
        "Airline posts record profit on booming demand",
        "Company wins two billion dollar defense contract, stock jumps",
        "Dividend increased 20% after record cash flow",
        "Stock rallies as quarterly revenue tops forecasts",
    ),
}
NEGATION: Final = {
    _NEGATIVE: (
        "Company did not meet its profit target",
        "Drugmaker fails to win approval for its drug",
        "Sales are not growing any more",
        "No recovery in sight for the steel maker",
        "Shares no longer attractive, analysts say",
        "Growth never came back after the merger",
    ),
    _POSITIVE: (
        "Company no longer expects a loss this year",
        "Bank says it will not cut its dividend after all",
        "Court finds no evidence of fraud at lender",
        "Airline avoids bankruptcy",
        "Results were not as bad as feared",
        "Regulator drops its investigation of the company",
    ),
}
LESS_IS_GOOD: Final = {
    _NEGATIVE: (
        "Costs rise faster than revenue",
        "Debt grows to twice the annual revenue",
        "Loss widens to 40 million dollars",
        "Jobless claims jump to a six-month high",
        "Loan defaults climb at regional bank",
        "Interest expense doubles",
    ),
    _POSITIVE: (
        "Quarterly loss narrows to 4 million dollars",
        "Company cuts its debt by half",
        "Unemployment falls to a record low",
        "Costs fell 12% on lower energy prices",
        "Loan losses decline at regional bank",
        "Fewer customers cancelled their contracts",
    ),
}
NUMBERS: Final = {
    _NEGATIVE: (
        "Net profit was 3.1 million euros, compared with 7.4 million a year earlier",
        "Revenue of 810 million against 960 million in the same quarter last year",
        "Earnings per share of 0.42 versus 0.55 expected",
        "Margin 4.2 percent (previous year: 6.9 percent)",
        "Order intake 112 million, down from 150 million",
        "Target price changed from 60 to 45 dollars",
    ),
    _POSITIVE: (
        "Net profit was 7.4 million euros, compared with 3.1 million a year earlier",
        "Revenue of 960 million against 810 million in the same quarter last year",
        "Earnings per share of 0.55 versus 0.42 expected",
        "Margin 6.9 percent (previous year: 4.2 percent)",
        "Order intake 150 million, up from 112 million",
        "Target price changed from 45 to 60 dollars",
    ),
}
IRONY: Final = {
    _NEGATIVE: (
        "Great, another profit warning, just what shareholders needed",
        "Well done management, only 90% of the value gone",
        "Sure, this stock can only go up from zero",
        "What a brilliant quarter, they lost just a billion",
        "Record high again - in layoffs",
        "Congratulations to everybody who bought at the top",
    ),
}
OTHER_LANGUAGES: Final = {
    _NEGATIVE: (
        "Gewinnwarnung: Aktie bricht um 20 Prozent ein",
        "Le titre chute après un avertissement sur résultats",
        "La empresa registra grandes pérdidas y despide a 500 trabajadores",
        "Il titolo crolla dopo i conti deludenti",
    ),
    _POSITIVE: (
        "Gewinn steigt auf Rekordhoch, Dividende wird erhöht",
        "Le bénéfice bondit et dépasse les attentes",
        "La empresa gana un gran contrato y sube en bolsa",
        "Utile in forte crescita, il titolo vola",
    ),
}
FOREIGN_SCRIPTS: Final = (
    "业绩大幅增长 股价创新高",
    "利益が大幅に減少した",
    "Прибыль компании резко упала",
    "أرباح الشركة ترتفع",
)
"""The model abstains from these."""


def own_sets() -> dict[str, list[Example]]:
    """Return the sentences by set."""
    sets = {
        "own_plain": PLAIN,
        "own_negation": NEGATION,
        "own_less_is_good": LESS_IS_GOOD,
        "own_numbers": NUMBERS,
        "own_irony": IRONY,
        "own_other_languages": OTHER_LANGUAGES,
    }
    return {name: [Example(text, label) for label, texts in of.items() for text in texts] for name, of in sets.items()}
