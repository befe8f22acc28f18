"""From images, videos and text to model inputs."""
