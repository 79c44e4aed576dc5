"""What a run tells the tools that keep logs: TensorBoard, Weights & Biases, MLflow, or one of one's own."""
