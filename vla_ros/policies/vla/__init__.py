"""The vision-language-action model: image and word tokens fused by a transformer, a 7-DOF head."""
