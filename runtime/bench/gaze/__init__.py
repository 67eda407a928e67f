"""The gaze benchmark's parts: the dense rivals, the robot that all ways of running share, and what is measured."""
