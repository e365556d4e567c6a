"""Schedules compiled to machine code through llvmlite."""
