"""All metadata is in setup.cfg; this file is what old tools look for."""

from setuptools import setup

setup()
