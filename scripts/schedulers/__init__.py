"""What calls the weekly run without a person: Airflow, cron, systemd and containers. scripts/README.md, Schedulers, says how.

Modules:

- airflow_dag: the week, and the readout of an earlier one, as a DAG of Airflow 3; one file, to be laid into a folder of DAGs
"""
