"""Families of models that a grid may hold beside XGBoost."""
