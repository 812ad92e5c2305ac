"""What people look at: the data report, the plots, the model card and the end screen."""
