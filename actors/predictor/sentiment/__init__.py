"""What the news say of a symbol: headlines as they came in, their scores, and figures made of them."""
