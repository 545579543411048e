"""Non-stationary bandits: arms, policies, worlds, simulation and what it costs. Importing it loads numpy alone."""
