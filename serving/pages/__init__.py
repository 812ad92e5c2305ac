"""The educator's pages: server-rendered, made from the contract of the model that answers."""
