"""How to carry a layer with its state from one implementation to another, and what does not come along."""
