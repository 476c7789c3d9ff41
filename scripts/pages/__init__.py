"""Results for people: one HTML file each, and tables in the terminal.

Modules; first what pages have in common:

- html: a page from words, charts and tables
- figures: what several pages show
- reliability: what is known of the differences between users, in words
- training: what training found out besides the model, as tables
- evaluation_page: the page about a model and its policy
- readout_page: the page about a week that ran
- drift_page: the page about how far a week's data is from last week's
- printed: judgements as tables in the terminal
- allocation: an allocation as tables in the terminal
- track_record: earlier promises and what came of them
- what_if: two policies compared, as tables in the terminal
- explain: explanations as tables in the terminal
- seek: what a search found, as a table in the terminal
- frontier: a trade-off as a table in the terminal
- plan_experiment: a planned experiment as a table in the terminal
- gates: what the gates found, as a table in the terminal
- publications: who published what, as a table in the terminal
- week: a finished week as tables in the terminal
"""
