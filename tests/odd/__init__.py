"""Servers that answer oddly, each as a public report describes a real server or gateway, and what is right."""
