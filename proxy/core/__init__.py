"""The pure core: no I/O, no aiohttp, no asyncio. Everything in here is tested without a server."""
