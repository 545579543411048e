"""Non-stationary bandits: arms, policies, worlds, simulation and what it costs. numpy and scipy only."""
