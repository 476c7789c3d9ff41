"""The product manager's page, on this machine alone: `python -m scripts.console`. What it does is plain functions; nothing here decides.

Modules, in the order in which a visit goes:

- run_list: the runs that can be opened
- policy_text: a policy as text, and what is wrong with a draft
- drafts: drafts, saved as one goes
- opened: a run with its sample, its policy and its session
- edit_text: one field changed in a policy's text
- rows: what of a draft is changed by number and slider
- jobs: long work, its progress and its end
- questions: what is asked of a run
- takes: how long a question of all listeners takes
- curve: a trade-off as a drawing
- shown: answers as rows of words
- scenarios: policies under names, side by side
- proposals: policy files put forward and approved
- publishing: a proposed policy allocated and published
- state: what the page knows between two requests
- guard: who may ask
- render: templates filled with words
- asked: what a request says
- web_start: the addresses of the first page
- web_draft: those of a draft
- web_questions: those of questions
- web_why: those of why
- web_scenarios: those of scenarios
- web_release: those of proposing and publishing
- app: all of it as a web application
- __main__: the command
"""
