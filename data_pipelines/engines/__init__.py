"""What runs the stages of a preparation: one machine or a Spark cluster."""
