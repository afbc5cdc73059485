"""The main job on real pairs: state what captions teach, train, measure what was learned, show both side by side."""
